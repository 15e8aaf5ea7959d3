"""`python -m genolm.cli`, and `accelerate launch -m genolm.cli run RECIPE` for several processes."""

from genolm.cli import main

if __name__ == "__main__":
    main()
