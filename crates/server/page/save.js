// Taking the hits along: their paths, or a table of them.
import { $, counted, element } from './dom.js';
import { shown } from './hits.js';

const COLUMNS = ['rank', 'id', 'path', 'score', 'relevance', 'abstract', 'grounded', 'caption'];

export function startSaving() {
  $('copy').addEventListener('click', async () => {
    const paths = shown().flatMap((hit) => [hit, ...(hit.duplicates ?? [])]).map(({ path }) => path);
    await copyText(paths.join('\n'));
    $('status').textContent = `${counted(paths.length, 'path')} copied.`;
  });
  $('csv').addEventListener('click', () => download('hits.csv', csv(shown())));
}

/** Copies also where the browser gives no clipboard, as at an address that is neither local nor https. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element('textarea', { class: 'hidden' }, text);
  (document.querySelector('dialog[open]') ?? document.body).append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

function csv(hits) {
  const row = (hit) => COLUMNS.map((column) => quoted(hit[column] ?? hit.parts?.[column] ?? ''));
  return [COLUMNS, ...hits.map(row)].map((cells) => `${cells.join(',')}\r\n`).join('');
}

const quoted = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  element('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
