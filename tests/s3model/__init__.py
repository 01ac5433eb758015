"""A model of S3 and Cognito in memory, on real sockets, that misbehaves on command.

`with S3Model() as model:` serves `model.url` from a thread of this process;
`python -m tests.s3model`, or `with ModelProcess() as model:`, is the same as a process of its own,
steered below `/_model/`. `profile.join` makes a device whose daemon just runs against it.
"""

from tests.s3model.faults import Fault
from tests.s3model.process import ModelProcess
from tests.s3model.running import S3Model

__all__ = ["Fault", "ModelProcess", "S3Model"]
