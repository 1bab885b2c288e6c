"""The pages of the studio: one file each, with TITLE, PATH and build(page)."""
