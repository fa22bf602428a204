"""The Lightning module that trains a recurrent network, and what Lightning needs around it."""
