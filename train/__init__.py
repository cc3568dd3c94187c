"""Data, losses and the training loop: images -> checkpoint. Calling this package calls `run.train`."""

from gantool.runtime.rooms import make_callable

make_callable(__name__, "gantool.train.run")
