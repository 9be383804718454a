"""A control loop in mid-motion, to be killed or stopped: every joint on a sine of 0.2 rad, 50 Hz."""

import math
import sys
import time

from simreal.deploy.ros2 import Ros2Config, Ros2Robot

JOINTS = tuple(f"panda_joint{index}" for index in range(1, 8))

if __name__ == "__main__":
    robot = Ros2Robot(Ros2Config(JOINTS, images=None, commands=sys.argv[1]))
    robot.connect()
    centre = robot.get_observation()
    for tick in range(1500):
        offset = 0.2 * math.sin(0.1 * tick)
        robot.send_action({f"{name}.pos": centre[f"{name}.pos"] + offset for name in JOINTS})
        time.sleep(0.02)
