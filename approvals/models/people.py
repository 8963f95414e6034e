"""Who signs in, and what they reach."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.models.reach import MailboxAssistant
from audit.ids import new_id
from mailboxes.models import Mailbox


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person, who signs in by email. Without memberships the roles hold for every mailbox."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "usr"))
    email = models.EmailField(max_length=320, unique=True)
    is_reviewer = models.BooleanField(default=False)
    is_administrator = models.BooleanField(default=False)
    is_auditor = models.BooleanField(default=False)
    all_mailboxes = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    sees_held_inbound = True

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(is_reviewer=True) | Q(is_administrator=True) | Q(is_auditor=True),
                name="person_has_a_role",
            )
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def actor(self) -> str:
        return f"person:{self.pk}"

    @property
    def roles(self) -> list[str]:
        return [r for r in ("reviewer", "administrator", "auditor") if getattr(self, f"is_{r}")]

    def mailbox_reach(self, field: str) -> Q:
        return Q() if self.all_mailboxes else Q(**{f"{field}__in": self.memberships.values("mailbox")})

    def run_reach(self) -> Q:
        """Runs about a mailbox within reach or about none, of assistants that work within it."""
        if self.all_mailboxes:
            return Q()
        working = MailboxAssistant.objects.filter(self.mailbox_reach("mailbox")).values("assistant")
        return Q(assistant__in=working) & (Q(mailbox_id="") | self.mailbox_reach("mailbox_id"))

    def contact_reach(self) -> Q:
        """Of the assistants that work within reach; who reaches every mailbox sees all of them."""
        if self.all_mailboxes:
            return Q()
        working = MailboxAssistant.objects.filter(self.mailbox_reach("mailbox")).values("assistant")
        return Q(owner__in=working)

    if TYPE_CHECKING:
        memberships: Any


class Membership(models.Model):
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="memberships")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "mailbox"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.mailbox_id}"


class SignInLink(models.Model):
    """A one-time way in. The page behind it shows on GET and acts on POST."""

    user = models.ForeignKey(User, models.CASCADE, related_name="sign_in_links")
    hash = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"for {self.user_id}"
