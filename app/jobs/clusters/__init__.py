"""Job files for clusters: Slurm, Kubernetes, SkyPilot.

    job = ClusterJob(name="iisan-train-mine", command=("iisan", "train", …), …)    # what it runs, what it needs
    slurm.job_file(job, …)         # a script for sbatch
    kubernetes.job_file(job, …)    # a manifest for kubectl
    skypilot.job_file(job, …)      # a task for `sky jobs launch`
    hand_over(slurm.SUBMIT, text)  # what it answers

Each is text made of a `ClusterJob`; whatever a user has typed is quoted by a library on its way into it.
"""
