"""The login at wandb, or one line that says what is missing."""

import atexit
import os
import shutil
import tempfile

from wandb.apis.public import Api
from wandb.errors import Error, UsageError

from modernet.errors import UserError

# wandb tries for minutes, or days, to reach a server that does not answer. What is safe to repeat need not.
IMPATIENT = {
    "WANDB_X_GRAPHQL_RETRY_MAX": "2",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "5",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "2",
    "WANDB_X_FILE_STREAM_RETRY_WAIT_MAX_SECONDS": "5",
    "WANDB_X_FILE_TRANSFER_RETRY_MAX": "2",
    "WANDB_X_FILE_TRANSFER_RETRY_WAIT_MAX_SECONDS": "5",
}


def logged_in() -> Api:
    """wandb's own view of the server. Raises UserError where there is no login, or the server does not take it."""
    logs = tempfile.mkdtemp(prefix="wandb-")  # which else lie where the user is
    atexit.register(shutil.rmtree, logs, ignore_errors=True)
    for name, value in {**IMPATIENT, "WANDB_DIR": logs, "WANDB_SILENT": "true"}.items():  # silent: it does not ask
        os.environ.setdefault(name, value)
    try:
        return Api()
    except UsageError:
        raise UserError("there is no login at wandb; `wandb login` makes one, or set WANDB_API_KEY") from None
    except Error as error:
        raise UserError(" ".join(str(error).split())) from None
