"""The commands of `sophia`, a panel of its help each. The work is done in `stages/`."""
