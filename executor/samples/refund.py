"""
Refund an order: an effect that must not happen twice.

    curl … -d '{"workflow": "refund", "input": {"orderId": 7, "amount": 1250}}'
"""

import time
from typing import Any

from executor import App, StepContext, StepError

app = App()


@app.step("refund", mutating=True, timeout=30)
def refund(context: StepContext) -> dict[str, Any]:
    """Pay the money back; the payment service refuses a key it has seen."""
    order = context.input or {}
    amount = order.get("amount", 0)
    if not isinstance(amount, int) or amount < 0:
        # Nothing has been paid, and asking again will not change the amount.
        raise StepError(f"{amount!r} is no amount that can be refunded", retryable=False)
    receipt = _pay_back(amount, idempotency_key=context.idempotency_key, fence=context.fence)
    return {"orderId": order.get("orderId"), "refunded": amount, "receipt": receipt}


def _pay_back(amount: int, *, idempotency_key: str, fence: int) -> str:
    """Stand in for a payment service."""
    time.sleep(0.2)
    return f"R-{idempotency_key}-{fence}-{amount}"
