"""Studies: protocol, stimuli, the order of items, enrolment, answers, conduct and lock."""
