// In place of the package of this name: the page checks links with the browser's URL.
export default {};
