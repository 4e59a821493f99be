// Unpacks plotly.js (gzip in Python's base 85, "<" written as a backslash) and draws the figures.
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;\\=>?@^_`{|}~";
function unpacked(text) {
  const value = Object.fromEntries([...DIGITS].map((digit, i) => [digit, i]));
  const missing = (5 - text.length % 5) % 5;
  const padded = text + "~".repeat(missing);
  const bytes = new Uint8Array(padded.length / 5 * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0, at = 0; i < padded.length; i += 5, at += 4) {
    let word = 0;
    for (let j = 0; j < 5; j++) word = word * 85 + value[padded[i + j]];
    view.setUint32(at, word);
  }
  return bytes.subarray(0, bytes.length - missing);
}
(async () => {
  if (typeof DecompressionStream === "undefined") {
    for (const plot of document.querySelectorAll(".plot")) {
      plot.style.height = "auto";
      plot.textContent = "This browser is too old to draw the figures (it lacks DecompressionStream: Chrome 80, Firefox 113, Safari 16.4). The tables have the same numbers.";
    }
    return;
  }
  const packed = unpacked(document.getElementById("plotly").textContent);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  for (const data of document.querySelectorAll("script.figure")) {
    const plot = data.previousElementSibling;
    const draw = () => {
      const figure = JSON.parse(dark.matches ? lightened(data.textContent) : data.textContent);
      Plotly.react(plot, figure.data, themed(figure.layout), CONFIG);
    };
    draw();
    dark.addEventListener("change", draw);
  }
  document.documentElement.classList.add("drawn");
})();
