"""What kinds of block are there? The ids, names and colours of the building game.

Ids 0 to 9 are those of MBAG (Laidlaw et al. 2025, arXiv 2504.07091). A smaller game uses the first `num_kinds` of them.
"""

AIR, BEDROCK, DIRT = 0, 1, 2
FIRST_PLACEABLE = DIRT
"""Kinds from here on can be placed; air and bedrock cannot."""

NAMES = ("air", "bedrock", "dirt", "cobblestone", "glass", "log", "planks", "stone", "stonebrick", "wool")

COLOURS = (
    "#ffffff",
    "#3b3b3b",
    "#8a5a3c",
    "#7d7f7c",
    "#9fd8e8",
    "#6b4a2b",
    "#c8a15a",
    "#a3a3a3",
    "#6f7a86",
    "#e9e4d8",
)
"""One sRGB colour a kind, for every view of the game."""
