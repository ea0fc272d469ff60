"""A cache far larger than the memory that reading from it takes."""

from tests.benchmarks.gather import bench_gather

MB = 10**6


def test_rows_of_ten_gigabytes_take_under_200_mb():
    facts = bench_gather(gigabytes=10, rows=4096)
    assert facts["items"] * facts["row_bytes"] >= 10_000 * MB
    assert facts["state_bytes"] == 4096 * facts["row_bytes"]
    assert facts["state_bytes"] < facts["resident_bytes"] < 200 * MB
