"""A simulated robot behind ROS 2's topics, with a dead-man: for trying a control loop without a robot."""

import contextlib
import signal
import threading
from dataclasses import dataclass

from simreal.deploy.clock import first_in_line
from simreal.deploy.robot_server import RobotServer
from simreal.deploy.ros2_node import use_loopback
from simreal.deploy.served_world import ServerConfig
from simreal.exits import run_script


@dataclass(frozen=True)
class Options(ServerConfig):
    """Serve a simulated robot until ctrl-C or SIGTERM."""

    seconds: float = float("inf")
    """Stop after this time."""
    realtime: bool = False
    """Use the real-time scheduler SCHED_FIFO, as a robot's own computer would."""
    network: bool = False
    """Be heard by other machines too; else only by this one."""


def main(options: Options) -> None:
    """Start, say so, serve, and leave nothing behind."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if not options.network:
        use_loopback()
    server = RobotServer(options)
    print("ready", flush=True)
    try:
        with first_in_line() if options.realtime else contextlib.nullcontext():
            server.run(stop, options.seconds)
    except ConnectionError as error:
        raise SystemExit(f"error: {error}") from None  # not the user's: code 1
    finally:
        server.close()


if __name__ == "__main__":
    run_script(main, Options)
