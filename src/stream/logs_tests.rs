//! What the model's stories (`continuity_tests.rs`) do not reach.
