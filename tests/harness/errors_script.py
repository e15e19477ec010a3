"""For `mitmdump -s`: writes what is logged at ERROR and above to the file that ERRORS_FILE names."""

import logging
import os

handler = logging.FileHandler(os.environ["ERRORS_FILE"])
handler.setLevel(logging.ERROR)
logging.getLogger().addHandler(handler)
