// Line charts in SVG: drawn once, read with the pointer; the numbers also stand in a table.
import { element, svg, table } from './dom.js';

// Text keeps its size on a phone.
const WIDTH = Math.max(280, Math.min(560, innerWidth - 60));
const HEIGHT = 240;
const LEFT = 48;
const BOTTOM = 26;
const TOP = 8;

/**
 * A figure. `series` is a list of `{name, points: [[x, y], …]}` with rising x; `xName` labels the axis, `log` makes it
 * logarithmic.
 */
export function chart({ title, series, xName, log = false, digits = 1 }) {
  const drawn = series.map((line) => ({ ...line, points: line.points.filter(([, y]) => Number.isFinite(y)) }));
  const all = drawn.flatMap((line) => line.points);
  const figure = element('figure', { class: 'chart' }, element('h3', {}, title));
  if (!all.length) {
    figure.append(element('p', { class: 'muted' }, 'no numbers yet'));
    return figure;
  }
  const scale = scales(all, log);
  const cursor = svg('line', { class: 'cursor', y1: TOP, y2: HEIGHT - BOTTOM, visibility: 'hidden' });
  const drawing = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `${title}: ${spoken(drawn, xName, digits)}` },
    axes(scale, xName), drawn.map((line, at) => curve(line, at, scale)), cursor);
  const legend = element('ul', { class: 'legend' });
  const tell = (x) => legend.replaceChildren(...entries(drawn, x, xName, digits));
  tell(null);
  drawing.addEventListener('pointermove', (event) => {
    const box = drawing.getBoundingClientRect();
    const x = nearest(all, scale.back(((event.clientX - box.left) / box.width) * WIDTH));
    cursor.setAttribute('x1', scale.x(x));
    cursor.setAttribute('x2', scale.x(x));
    cursor.setAttribute('visibility', 'visible');
    tell(x);
  });
  drawing.addEventListener('pointerleave', () => {
    cursor.setAttribute('visibility', 'hidden');
    tell(null);
  });
  figure.append(drawing, legend, numbers(title, drawn, xName, digits));
  return figure;
}

function scales(points, log) {
  const bend = log ? Math.log10 : (x) => x;
  const xs = points.map(([x]) => bend(x));
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const ticks = steps(Math.min(...points.map(([, y]) => y)), Math.max(...points.map(([, y]) => y)));
  const [y0, y1] = [ticks[0], ticks.at(-1)];
  const across = (WIDTH - LEFT - 8) / (x1 - x0 || 1);
  const down = (HEIGHT - TOP - BOTTOM) / (y1 - y0);
  const xTicks = log ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].filter((x) => bend(x) >= x0 && bend(x) <= x1)
    : steps(x0, x1).filter((x) => x >= x0 && x <= x1);
  return {
    x: (x) => LEFT + (bend(x) - x0) * across,
    y: (y) => HEIGHT - BOTTOM - (y - y0) * down,
    back: (px) => { const x = (px - LEFT) / across + x0; return log ? 10 ** x : x; },
    xTicks,
    yTicks: ticks,
  };
}

/** Two to eight round numbers that enclose low and high. Numbers that differ by rounding alone are one. */
export function steps(low, high) {
  const size = Math.max(Math.abs(low), Math.abs(high));
  const span = high - low > size * 1e-9 ? high - low : size || 1;
  const raw = span / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const made = [];
  for (let at = Math.floor(low / step); made.length < 2 || (at - 1) * step < high - step * 1e-9; at += 1) made.push(Number((at * step).toPrecision(12)));
  return made;
}

function axes(scale, xName) {
  const across = scale.yTicks.map((y) => [
    svg('line', { class: 'axis', x1: LEFT, x2: WIDTH - 8, y1: scale.y(y), y2: scale.y(y) }),
    svg('text', { x: LEFT - 6, y: scale.y(y) + 4, 'text-anchor': 'end' }, String(y)),
  ]);
  const down = scale.xTicks.map((x) => svg('text', { x: scale.x(x), y: HEIGHT - BOTTOM + 16, 'text-anchor': 'middle' }, String(x)));
  return svg('g', {}, across.flat(), down, svg('text', { x: WIDTH - 8, y: HEIGHT - BOTTOM - 6, 'text-anchor': 'end' }, xName));
}

function curve(line, at, scale) {
  const place = ([x, y]) => `${scale.x(x).toFixed(1)} ${scale.y(y).toFixed(1)}`;
  const dots = line.points.length < 40 ? line.points.map(([x, y]) => svg('circle', { class: 'dot', cx: scale.x(x), cy: scale.y(y), r: 2.5 })) : [];
  return svg('g', { class: `series${at % 6}` }, svg('path', { class: 'line', d: line.points.map((point, n) => `${n ? 'L' : 'M'}${place(point)}`).join('') }), dots);
}

function entries(series, x, xName, digits) {
  const made = series.map((line, at) => {
    const sample = svg('svg', { class: `series${at % 6}`, viewBox: '0 0 28 10', 'aria-hidden': 'true' }, svg('path', { class: 'line', d: 'M0 5L28 5' }));
    const value = x === null ? null : line.points.find(([other]) => other === x);
    return element('li', {}, sample, value ? `${line.name} ${value[1].toFixed(digits)}` : line.name);
  });
  if (x !== null) made.push(element('li', { class: 'muted' }, `${xName} ${x}`));
  return made;
}

function nearest(points, x) {
  return points.reduce((best, [other]) => (Math.abs(other - x) < Math.abs(best - x) ? other : best), points[0][0]);
}

function spoken(series, xName, digits) {
  return series.filter((line) => line.points.length)
    .map(({ name, points }) => `${name} ${points[0][1].toFixed(digits)} at ${xName} ${points[0][0]}, ${points.at(-1)[1].toFixed(digits)} at ${points.at(-1)[0]}`).join('; ');
}

function numbers(title, series, xName, digits) {
  const details = element('details', {}, element('summary', { class: 'small muted' }, 'Numbers'));
  details.addEventListener('toggle', () => {
    if (details.children.length > 1) return;
    const xs = [...new Set(series.flatMap((line) => line.points.map(([x]) => x)))].sort((a, b) => a - b);
    const rows = xs.map((x) => [String(x), ...series.map((line) => line.points.find(([other]) => other === x)?.[1].toFixed(digits) ?? '')]);
    details.append(table(title, [xName, ...series.map((line) => line.name)], rows));
  });
  return details;
}
