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
// Figures take the colours of the page, light or dark.
const dark = matchMedia("(prefers-color-scheme: dark)");
const LIGHTER = {"#111827": "#e5e7eb", "#1f2937": "#e5e7eb", "#64748b": "#a3b0c2", "#1257b8": "#8ab8ff", "#c2410c": "#ffab7a", "#0f766e": "#4fd1c5", "#7c3aed": "#c4a5ff", "#be185d": "#f9a8d4", "#475569": "#b6c2d2"};
const lightened = (text) => Object.entries(LIGHTER).reduce((now, [from, to]) => now.replaceAll(`"${from}"`, `"${to}"`), text);
function themed(layout) {
  const style = getComputedStyle(document.documentElement), ink = style.getPropertyValue("--ink"), line = style.getPropertyValue("--line");
  const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key)).map((key) => [key, {...layout[key], gridcolor: line, zerolinecolor: line, linecolor: line}]);
  const ternary = layout.ternary ? {ternary: {...layout.ternary, bgcolor: "rgba(0,0,0,0)"}} : {};
  return {template: TEMPLATE, ...layout, ...Object.fromEntries(axes), ...ternary, font: {...layout.font, color: ink}, modebar: {bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)"};
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
