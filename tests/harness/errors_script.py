"""For `mitmdump -s`: writes what is logged at ERROR and above to the file that PHOEBE_TEST_ERRORS names."""

import logging
import os

handler = logging.FileHandler(os.environ["PHOEBE_TEST_ERRORS"])
handler.setLevel(logging.ERROR)
logging.getLogger().addHandler(handler)
