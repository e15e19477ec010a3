"""What is deployed, judged by the tools for it: `make test-deploy` installs them and runs these tests."""

from rig.programs import PROJECT

TOOLS = PROJECT / ".venv-deploy" / "bin"
