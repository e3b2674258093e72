// What the executor beside this does with steps, by their type.
export default {
  async "check-order"(input) {
    if (!input?.orderId) throw Object.assign(new Error("no orderId"), { retryable: false });
    return { orderId: input.orderId, amount: 1250 };
  },

  // What is called downstream gets the key of this step, and a fence that only grows: so it can
  // refuse a repeat, and whoever comes late.
  async "charge-card"(input, { step, fence, signal }) {
    const payment = { key: step.idempotencyKey, fence, amount: step.outputs.check.amount };
    if (process.env.PAYMENTS_URL)
      await fetch(process.env.PAYMENTS_URL, { method: "POST", body: JSON.stringify(payment), signal });
    return payment;
  },
};
