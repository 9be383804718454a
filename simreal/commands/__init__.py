"""The commands: typed options, checked, handed to the stage that does the work."""

from collections.abc import Callable

from simreal.commands.common import Common
from simreal.commands.deploy import Deploy, Export
from simreal.commands.measure import Check, Evaluate
from simreal.commands.recommend import Recommend
from simreal.commands.record import Record
from simreal.commands.select import Select
from simreal.commands.show import Doctor, Report
from simreal.commands.study import Study
from simreal.commands.train import Import, Pretrain, Run
from simreal.commands.transfer import Adapt, Collect, Methods

__all__ = ["COMMANDS"]

COMMANDS: dict[str, Callable[..., Common]] = {
    "run": Run,
    "pretrain": Pretrain,
    "import": Import,
    "collect": Collect,
    "record": Record,
    "adapt": Adapt,
    "evaluate": Evaluate,
    "select": Select,
    "check": Check,
    "study": Study,
    "recommend": Recommend,
    "export": Export,
    "deploy": Deploy,
    "methods": Methods,
    "report": Report,
    "doctor": Doctor,
}
