import os


class Cart:
    """What somebody buys."""

    def __init__(self, owner, limit=10):
        self.owner = owner
        self.items = []
        self.limit = limit

    def add(self, item, count=1):
        for _ in range(count):
            if len(self.items) >= self.limit:
                raise ValueError("it's full")
            self.items.append(item)
        return self

    def total(self):
        amount = 0
        for item in self.items:
            if item.price is None:
                continue
            amount += item.price
        return amount


def main():
    cart = Cart(os.environ["USER"])
    cart.add("tea").add("milk", 2)
    print(cart.total())
