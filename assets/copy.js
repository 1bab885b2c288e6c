// Copies the text of the nearest .fvs-code when its [data-fvs-copy] button is pressed, on any page.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-fvs-copy]");
  const code = button?.closest(".fvs-code")?.querySelector("code, pre");
  if (!code) return;
  const label = button.dataset.fvsCopy || button.textContent;
  button.dataset.fvsCopy = label;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    // Browsers give the clipboard only to https and localhost; the text is then ready to be copied by hand.
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = label), 1600);
});
