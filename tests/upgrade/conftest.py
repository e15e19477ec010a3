"""An earlier version and this one at work together: `make test-upgrade`. It installs the earlier one."""
