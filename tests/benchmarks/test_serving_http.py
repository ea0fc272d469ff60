import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.network]


def test_under_load_the_service_answers_all_and_does_not_grow():
    command = [sys.executable, "-m", "tests.benchmarks.serving_http", "--seconds", "2", "--long", "30"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert found["one_user"]["failures"] == found["batch"]["failures"] == 0
    assert found["one_user"]["requests"] > 100 and found["batch"]["users_per_second"] > 0
    long = found["long"]
    assert long["refused_as_they_should"] < long["requests"] / 20, "only the faults that it sends"
    assert long["growth_mb_from_second_to_last_third"] < 30
