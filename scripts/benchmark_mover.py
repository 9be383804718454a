"""Control loops in mid-motion, to be killed: a line on standard input starts one, its process id is printed.

A process that has imported everything forks them, so that the next one moves within part of a second.
"""

import math
import os
import signal
import sys
import time

from simreal.deploy.ros2 import Ros2Robot
from simreal.deploy.ros2_config import Ros2Config

JOINTS = tuple(f"panda_joint{index}" for index in range(1, 8))


def move(topic: str) -> None:
    """Send every joint along a sine of 0.2 rad around where it is, at 50 Hz, for 20 s."""
    robot = Ros2Robot(Ros2Config(JOINTS, images=None, commands=topic, connect_s=30.0))
    robot.connect()
    centre = robot.get_observation()
    for tick in range(1000):
        offset = 0.2 * math.sin(0.1 * tick)
        robot.send_action({key: value + offset for key, value in centre.items()})
        time.sleep(0.02)


def main(topic: str) -> None:
    """Fork a loop for each line."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for _ in sys.stdin:
        process_id = os.fork()
        if process_id == 0:
            try:
                move(topic)
            finally:
                os._exit(0)
        print(process_id, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
