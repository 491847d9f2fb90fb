"""Functions that a setting switches off, as on the platform: their triggers are deaf, and by hand they still run."""

from pathlib import Path

from tests.local.host_app import running, write_app

APP = """
@app.timer_trigger(arg_name="timer", schedule="* * * * * *", run_on_startup=True)
def tick(timer: func.TimerRequest) -> None:
    seen.append("tick")

@app.timer_trigger(arg_name="timer", schedule="* * * * * *", run_on_startup=True)
def tock(timer: func.TimerRequest) -> None:
    seen.append("tock")

@app.route(route="hello", methods=["GET"])
def hello(req: func.HttpRequest) -> str:
    return "hello"
"""


async def test_a_disabled_function_runs_by_hand_only(tmp_path: Path) -> None:
    file = write_app(tmp_path / "app", APP)
    off = {"AzureWebJobs.tick.Disabled": "true", "AzureWebJobs.hello.Disabled": "1", "AzureWebJobs.tock.Disabled": "no"}
    async with running(file, tmp_path / "state", off) as host:
        async with host.client.get("/api/hello") as answer:
            assert answer.status == 404
        async with host.client.post(
            "/admin/functions/tock", json={"input": ""}, headers={"x-local-wait": "true"}
        ) as answer:
            assert answer.status == 202
        assert "tick" not in host.module.seen and "tock" in host.module.seen
        async with host.client.post(
            "/admin/functions/tick", json={"input": ""}, headers={"x-local-wait": "true"}
        ) as answer:
            assert answer.status == 202
        assert host.module.seen.count("tick") == 1
