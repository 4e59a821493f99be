// Figures take the colours of the page, light or dark.
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const LIGHTER = {"#111827": "#e5e7eb", "#1f2937": "#e5e7eb", "#64748b": "#a3b0c2", "#1257b8": "#8ab8ff", "#c2410c": "#ffab7a", "#0f766e": "#4fd1c5", "#7c3aed": "#c4a5ff", "#be185d": "#f9a8d4", "#475569": "#b6c2d2"};
const lightened = (text) => Object.entries(LIGHTER).reduce((now, [from, to]) => now.replaceAll(`"${from}"`, `"${to}"`), text);
function themed(layout) {
  const style = getComputedStyle(document.documentElement), ink = style.getPropertyValue("--ink"), line = style.getPropertyValue("--line");
  const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key)).map((key) => [key, {...layout[key], gridcolor: line, zerolinecolor: line, linecolor: line}]);
  const ternary = layout.ternary ? {ternary: {...layout.ternary, bgcolor: "rgba(0,0,0,0)"}} : {};
  return {template: TEMPLATE, ...layout, ...Object.fromEntries(axes), ...ternary, font: {...layout.font, color: ink}, modebar: {bgcolor: "rgba(0,0,0,0)", color: line, activecolor: ink}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)"};
}
