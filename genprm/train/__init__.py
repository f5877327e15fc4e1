"""Training: verifiers on rationales and on values of steps, policies on solutions and against a reward."""
