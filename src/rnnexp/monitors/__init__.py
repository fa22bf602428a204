"""What is watched while a network trains: pure rules, under thin Lightning callbacks."""
