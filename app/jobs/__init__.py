"""Detached processes that outlive whoever started them: start, queue, stop, find again.

A job is a folder: a run folder, or under `workspace/jobs` one for anything else. Whoever watches reads the folder;
nobody holds a handle.

    job = start(["extract", "data", "--text", "minilm"], workspace=Workspace.default(), device="auto")
    run = start_run(config, path, command="iisan train …")
    start_again(run)                      # resume what was stopped, interrupted, failed or never begun
    job.status()                          # state, pid, heartbeat, epoch or steps, memory
    job.log_tail(20)
    for stage in stop(job): …             # asked, terminated, killed, ended
    stop_detached(run)                    # the same from a process of its own; `stop_stages(run)` tells how far it is
    jobs_in(workspace), runs_in(workspace)    # `Listed`: folder with status, or with its problem

The process at work wraps its work in `at_work(folder, device=…)`. Starting and stopping stand in `process`, finding in
`listing`, the process at work in `work`, a device's turns in `queue`, what devices there are in `devices`, job files
for clusters in `clusters`.
"""
