// Which links an answer may have: absolute ones with a safe protocol; and URLs in running text.

const SAFE_URL = /^(?:https?:\/\/|mailto:)/i;
const BARE_URL = /^https?:\/\/[^\s<>"'`\]}|，。；：！？、（）「」『』《》【】“”]{1,2000}/i;

export function isSafeUrl(url) {
  return SAFE_URL.test(url) && URL.canParse(url);
}

/** What the parser asks for the URL that a text begins with. */
export const bareLinks = {
  test: () => false, // URLs without a protocol, such as example.org, stay text
  matchAtStart(text) {
    const url = trimUrl(BARE_URL.exec(text)?.[0] ?? "");
    return url ? { url } : null;
  },
};

/** The URL without the punctuation after it; a closing parenthesis stays if the URL has the opening one. */
function trimUrl(url) {
  const count = (character) => url.split(character).length - 1;
  let closing = count(")") - count("(");
  let end = url.length;
  while (/[.,:;!?*_~]/.test(url[end - 1] ?? "") || (url[end - 1] === ")" && closing > 0)) {
    end -= 1;
    if (url[end] === ")") closing -= 1;
  }
  return url.slice(0, end);
}
