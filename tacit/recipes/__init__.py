"""What can be trained, one file each; `tacit train NAME` runs a file's `make`."""
