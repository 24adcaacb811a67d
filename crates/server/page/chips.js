// The chips: parts of a query with a sign, a weight and a way to remove them.
import { $, button, element } from './dom.js';
import { itemPath, showImage } from './api.js';
import { dataOf } from './uploads.js';

/** Shows the parts; a change is made in `parts`, then `changed` is called. */
export function showChips(parts, changed) {
  const held = document.activeElement;
  const at = [...$('chips').children].indexOf(held?.closest('.chip'));
  $('chips').replaceChildren(...parts.map((part, at) => chip(part, () => changed(), () => {
    parts.splice(at, 1);
    changed();
    // The focus stays among the chips, or returns to the box.
    ($('chips').querySelectorAll('.remove')[Math.min(at, parts.length - 1)] ?? $('words')).focus();
  })));
  $('chips').hidden = !parts.length;
  if (at >= 0) $('chips').children[at]?.querySelector(held.className ? `.${held.className}` : 'input').focus();
}

function chip(part, changed, remove) {
  const named = nameOf(part);
  const minus = part.weight < 0;
  const sign = button(minus ? '−' : '+', () => { part.weight = -part.weight; changed(); },
    { class: 'sign', 'aria-label': `${named}: ${minus ? 'taken away, add it instead' : 'added, take it away instead'}` });
  const weight = element('input', {
    type: 'number', min: '0.1', max: '9', step: '0.1', value: Math.abs(part.weight), title: 'Weight', 'aria-label': `Weight of ${named}`,
    onchange: (event) => {
      const value = Number(event.target.value);
      if (value > 0) part.weight = Math.sign(part.weight) * Math.min(value, 9);
      changed();
    },
  });
  return element('li', { class: minus ? 'chip minus' : 'chip' }, sign, content(part, named), weight,
    button('×', remove, { class: 'remove', 'aria-label': `Remove ${named}` }));
}

function nameOf({ kind, value }) {
  if (kind === 'text') return value;
  return kind === 'id' ? `image ${value}` : 'your image';
}

function content({ kind, value }, named) {
  if (kind === 'text') return element('span', {}, value);
  const img = element('img', { alt: named, title: named, width: 40, height: 40 });
  if (kind === 'id') {
    showImage(img, itemPath(value, '/thumb?side=128'));
    return img;
  }
  const data = dataOf(value);
  if (!data) return element('span', { class: 'muted' }, 'an image that is not here any more');
  img.src = data;
  return img;
}
