// Wide tables say that they scroll, where they do.
const boxes = document.querySelectorAll(".scroll");
const mark = () => boxes.forEach((box) => box.classList.toggle("cut", box.scrollWidth > box.clientWidth + 1));
addEventListener("resize", mark);
document.addEventListener("toggle", mark, true);
mark();
