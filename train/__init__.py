"""Data, losses, the loop: images -> checkpoint. To call it is `run.train`."""

from gantool.runtime.rooms import make_callable

make_callable(__name__, "gantool.train.run")
