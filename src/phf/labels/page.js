document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const button = [...document.querySelectorAll("button[data-key]")].find(b => b.dataset.key === event.key.toLowerCase());
  if (button) { event.preventDefault(); button.click(); }
});
document.addEventListener("submit", event => {
  if (event.target.dataset.sent) event.preventDefault();
  event.target.dataset.sent = "1";
});
