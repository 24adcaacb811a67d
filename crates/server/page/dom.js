// Building elements. Text is always put in as text, so names and captions cannot become markup.

export const $ = (id) => document.getElementById(id);

/** An element. `on…` are listeners, `--…` are custom properties of its style; null and false attributes are left out. */
export function element(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** The same in SVG. */
export function svg(name, properties = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), properties, children);
}

function fill(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (key.startsWith('--')) made.style.setProperty(key, value);
    else made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const button = (text, click, properties = {}) =>
  element('button', { type: 'button', onclick: click, ...properties }, text);

/** A table of a header row and rows; a cell is text, a number or an element. The first cell of a row is its header. */
export function table(caption, header, rows) {
  const cells = (row) => row.map((cell, at) => element(at ? 'td' : 'th', at ? {} : { scope: 'row' }, cell));
  const head = element('tr', {}, header.map((text) => element('th', { scope: 'col' }, text)));
  const made = element('table', {}, element('caption', {}, caption), element('thead', {}, head),
    element('tbody', {}, rows.map((row) => element('tr', {}, cells(row)))));
  return element('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, made);
}

/** What went wrong and what to do, as a paragraph. */
export function problem(error) {
  const remedy = error.remedy ? element('span', { class: 'remedy' }, error.remedy) : null;
  return element('p', { class: 'problem', role: 'alert' }, error.message, remedy);
}

export const counted = (count, what) => `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`;

export const percent = (share) => `${Math.round(100 * share)} %`;

/** The last part of a path. */
export const nameOf = (path) => path.split('/').pop();
