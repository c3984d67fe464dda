// In place of the package of this name: the page sets its own matcher.
export class LinkifyIt {}
