"""Training: generative verifiers by supervised training on rationales."""
