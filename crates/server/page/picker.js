// A list of links of which one is chosen: runs, reports.
import { element } from './dom.js';

export function picker(label, list, chosen, tab, param, describe) {
  const link = (entry) => element('a', {
    href: `/?${new URLSearchParams({ tab, [param]: entry.name })}`,
    'aria-current': entry.name === chosen ? 'true' : null,
  }, entry.name, element('small', {}, describe(entry)));
  return element('nav', { 'aria-label': label }, element('ul', { class: 'pick' }, list.map((entry) => element('li', {}, link(entry)))));
}
