// Wide tables say that they scroll, where they do.
const boxes = document.querySelectorAll(".scroll");
const mark = () => boxes.forEach((box) => box.classList.toggle("cut", box.scrollWidth > box.clientWidth + 1));
addEventListener("resize", mark);
document.addEventListener("toggle", mark, true);
document.addEventListener("change", mark);
mark();
// Lines to copy.
document.querySelectorAll(".copy button").forEach((button) => button.addEventListener("click", async () => {
  const code = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "selected";
  }
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}));
