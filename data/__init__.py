"""Images, captions and prompts: readers, validation, splits, image loading and provenance."""
