"""From ratings to a result: export, statistics, figures, the methods paragraph, the capsule."""
