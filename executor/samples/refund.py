"""
Refund an order: large amounts wait for somebody's approval, money is paid once.

    check ─▶ pay ─▶ mail                     up to 100.00
    check ─▶ approve ─▶ pay ─▶ mail          more; waits for {"approved": true}
    check ─▶ approve ─▶ mail                 declined, or not answered in a week

    dibs runs create refund --input '{"orderId": 7, "amount": 1250}'
"""

import time
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from executor import App, AwaitInput, StepContext, Success

app = App()

LARGEST_WITHOUT_APPROVAL = 10_000
WEEK_SECONDS = 7 * 24 * 3600


class Refund(BaseModel):
    """What to pay back: the amount in cents."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    order_id: int
    amount: Annotated[int, Field(gt=0)]


class Approval(BaseModel):
    """What somebody says to a large refund."""

    approved: bool
    reason: str = ""


@dataclass(frozen=True)
class Receipt:
    """What the payment service gives for money."""

    receipt: str
    paid: int


@app.step("check-refund")
def check(_: StepContext, refund: Refund) -> Success:
    """Let small amounts pass; the others need an approval."""
    small = refund.amount <= LARGEST_WITHOUT_APPROVAL
    return Success({"amount": refund.amount}, next="pay" if small else "approve")


@app.step("approve-refund", input=Refund | Approval)
def approve(context: StepContext) -> Success:
    """Wait for an approval; nobody's within a week is none."""
    if not context.resumed:
        raise AwaitInput(Approval, timeout_seconds=WEEK_SECONDS, on_timeout="mail")
    return Success(context.input, next="pay" if context.input.approved else "mail")


@app.step("pay-refund", mutating=True)
def pay(context: StepContext, refund: Refund) -> Receipt:
    """Pay the money back; the payment service refuses a key it has seen."""
    receipt = _pay_back(refund.amount, context.idempotency_key, context.fence)
    return Receipt(receipt, refund.amount)


@app.step("mail-refund")
def mail(context: StepContext, refund: Refund) -> dict[str, str]:
    """Tell the customer how it ended."""
    if "pay" in context.outputs:
        receipt = context.outputs["pay"]["receipt"]
        text = f"We have paid back {refund.amount / 100:.2f} (receipt {receipt})."
    elif "approve" in context.outputs:
        text = f"We cannot pay that back. {context.outputs['approve']['reason']}".strip()
    else:
        text = "We are still looking into it."
    return {"subject": f"Your order {refund.order_id}", "text": text}


def _pay_back(amount: int, idempotency_key: str, fence: int) -> str:
    """Stand in for a payment service, which is given key and fence to refuse repeats by."""
    time.sleep(0.2)
    return f"R-{amount}-{idempotency_key[-8:]}-{fence}"
