"""What a card should say and nobody recorded: gathered, so that one error names it all."""

from typing import Any

from genolm.errors import PublishError

NOT_RECORDED = "not recorded"


class MissingFacts:
    """A list of facts that a run did not record."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def require(self, value: Any, name: str) -> Any:
        """Return a value that is there; else remember its name and return words that say so."""
        if value is None or value in ("", [], {}):
            self.add(name)
            return NOT_RECORDED
        return value

    def add(self, name: str) -> None:
        """Remember a fact that is missing, once."""
        if name not in self.names:
            self.names.append(name)

    def check(self) -> None:
        """Refuse a card with anything missing.

        Raises:
            PublishError: it lists all of it.
        """
        if self.names:
            raise PublishError(
                found=f"a run that lacks {len(self.names)} fact(s) of its card: {'; '.join(self.names)}",
                expected="everything that a card has to say",
                remedy="supply what is named, or use --draft, which marks each as not recorded",
            )
