"""What the train stage of a recipe may say: ``common`` to all kinds, trainings on ``rows``, and of ``policies``."""
