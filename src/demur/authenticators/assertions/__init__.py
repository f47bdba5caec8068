"""Assertions: who asks, told by a gateway to an app and signed, so that the app need not ask back.

`signing` makes them for the sites of a gateway, `verifying` reads them in an app. What they say is `core.asserted`.
"""
