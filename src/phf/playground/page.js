element.addEventListener("click", async (event) => {
  const tracing = event.target.closest("button.trace");
  if (tracing) {
    tracing.disabled = true;
    trigger("click", {key: tracing.dataset.key});
    return;
  }
  const button = event.target.closest("button.copy");
  if (!button) return;
  await navigator.clipboard.writeText(button.nextElementSibling.textContent);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});
