"""How fast is it? Ratios against a baseline in one run. One file is one benchmark."""
